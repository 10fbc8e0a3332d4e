"""What runs at the hub: the command of each restricted ssh key, the watch, the hooks.

Everything here but `build` is put into one zip application that the hub keeps in
`hooks/nightdesk.pyz` and runs with `python3 -I`: standard library alone, nothing installed.
"""
