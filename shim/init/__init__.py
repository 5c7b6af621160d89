"""bunny-init: PID 1 of the user's container. One run with a job spec, process by process:

    main        argv, environment          → supervise alone, or a job
    job         JOBSPEC                     PID 1: forks the three below one after the other, small all the time
      stage     job spec → started.json, folders, inputs        a child that ends before the command starts
      (user)    the image's entrypoint and the command          its own process group, stdout and stderr copied
      finish    outputs, logs → result.json                     a child again

    supervise   signals, reaping, pipes     the only module that forks
    spec placeholders inputs outputs result  pure but for the file system
    s3          the only module that imports obstore;  credentials, machine: what ECS tells a container

Must not: import anything heavy in PID 1 (json, dataclasses, ssl, obstore live in the children only), need a shell,
/tmp, a user database or root in the user's image, or import `reconciler`.
"""
