"""What people see: command line, report, viewer."""
