# Completion of ctl for fish, which loads it at the first TAB. The command itself knows what it takes: it is asked
# for its script once, and from then on by that script.

command -q ctl; and env _CTL_COMPLETE=fish_source ctl 2> /dev/null | source
