"""bunny-init and the recipe of the layer that carries it into any Linux image.

Job: run as PID 1 inside the user's container, as `shim/README.md` and docs/shim.md describe.
Input: the image's own entrypoint and command, and the job spec that JOBSPEC points to.
Output: the user's exit code; started.json, result.json, logs and outputs in S3.
Must not: import `reconciler`. Between the two stand only schemas/jobspec and schemas/result.
"""
