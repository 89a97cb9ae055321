"""Export: masks in the formats that other tools read. Import what you need from its modules; this loads nothing."""
