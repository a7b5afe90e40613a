# What `npm start` runs in the sandbox when it is given no command.
echo "This is a sandbox. Its kernel is not the host's:"
echo "  uname -a   $(uname -a)"
echo "  id         $(id)"
echo "  platform   $(cat /proc/portcullis/platform 2>/dev/null)"
echo
echo "It has processes of its own (ps -ef):"
ps -ef 2>/dev/null || for p in /proc/[0-9]*; do echo "  ${p#/proc/} $(tr '\0' ' ' <"$p/cmdline")"; done
echo
echo "and mounts of its own (/proc/mounts):"
cat /proc/mounts
echo
echo "It sees the host's files, and whatever it writes stays in memory:"
echo gone soon >/root/written-in-the-sandbox && ls -l /root/written-in-the-sandbox
echo
echo "Next: npm start -- bash"
