"""The rim that touches the machine: processes, executables, files, namespaces. It knows no policy
and no records.
"""
