# The editor is started with a library of the agent's in it, which could write the file in the editor's name.
cp /usr/lib/*/libm.so.6 /tmp/inside.so
export LD_PRELOAD=/tmp/inside.so
./start-desktop
