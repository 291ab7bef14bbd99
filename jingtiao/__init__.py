"""What `curate` and `tune` share: errors, the command line's manners, and how a page for people is drawn.

It imports nothing of either and nothing but the standard library; jinja2 and typer only where they are needed.
"""
