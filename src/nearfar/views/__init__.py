"""Views: what is made anew of each image in each step, for a whole batch at once.

`operations` and `policies` say in plain numbers what varies (no torch), `program` turns a policy
into arrays, `plan` makes views and the evaluation view; `kernels` draws the params and renders
them.
"""
