"""What acni remembers: a record for each attachment, in libcni's place and format, and the deletes
still owed.
"""
