# Completion of releve for fish, which loads it at the first TAB. The command itself knows what it takes: it is asked
# for its script once, and from then on by that script.

command -q releve; and env _RELEVE_COMPLETE=fish_source releve 2> /dev/null | source
