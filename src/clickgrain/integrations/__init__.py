"""clickgrain inside other annotation tools. Import what you need from its modules; this loads nothing."""
