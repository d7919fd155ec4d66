"""What a frozen encoder is worth: features extracted once, then probed."""
