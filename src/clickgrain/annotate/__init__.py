"""The annotation tool: project file, server and page. Import what you need from its modules; this loads nothing."""
