"""Every file that the project reads or writes: one module a format, with its reader, writer and check."""
