"""What operations staff should see without asking: counts over time, alarms, who is told of them.

Reads the control plane and the data plane, and changes neither.
"""
