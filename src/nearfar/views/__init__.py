"""Views: what is made anew of each image in each step, for a whole batch at once.

`policies` says in plain numbers what varies (no torch), `plan` makes views and the evaluation view,
`geometry` and `colour` draw the parameters, `warp` renders them.
"""
