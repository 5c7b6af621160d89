"""The recipe of the platform layer: Debian's python, obstore and bunny-init, moved under /bunnies.

Job: make one reproducible tar.gz per platform that runs in any Linux image, and say what is in it.
Input: Debian packages through the machine's own apt, the obstore wheel through its own pip, and shim/init.
Output: DIR/linux-amd64.tar.gz and DIR/linux-amd64.json; progress on stderr, the two paths on stdout.
Must not: touch the machine's dpkg or apt state, need root, or run inside the user's image (that is shim.init).

`recipe` names what goes in, `debian` and `wheel` fetch it, `tree` puts it together, `archive` packs it,
`build` decides whether there is anything to do. Run as `python -m shim.layer`.
"""
