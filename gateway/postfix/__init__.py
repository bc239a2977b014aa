"""For a Postfix that keeps port 25: tables and a policy service, decided by the same resolve().

Pure: socketmap.py, delegation.py and reader.py (octets to requests), names.py, tables.py's and
policy.py's answers. server.py alone has sockets, configuration.py alone speaks to the operator.
"""
