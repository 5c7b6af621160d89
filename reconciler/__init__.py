"""bunnies: a declarative reconciler for containers on AWS.

The essay: one run of `bunnies apply`, stage by stage. Every stage takes frozen data and returns frozen data.

    load      YAML files                    → Manifest…            touches the file system
    kinds     Manifest + facts              → Resource (desired)   `facts` asks registries and S3 what the
                                                                   manifests point to; `desired` is pure
    kinds     live AWS                      → Resource (live)      reads ECR and ECS
    ledger    s3://BUCKET/PREFIX/jobs       → JobRecord            reads S3
    plan      desired + live + records      → Plan                 pure
    apply     Plan                          → Outcome…             changes ECR and ECS
    launch    JobDecision                   → Outcome…             changes the ledger and ECS
    render    Manifest, Plan, Outcome       → text, JSON           writes to the terminal

The same Resource type and the same canonicaliser serve both sides, so the diff is dumb. Live AWS, ownership
tags and the ledger in S3 are the whole truth: there is no state file, and any clone can carry on after a crash.
There is no dry-run flag: `plan` and `apply` are two readers of one Plan.

`plan`, `diff`, `canonical` and `model` import no boto3, docker or ruamel, even indirectly; import-linter
holds that, and the one direction of imports (pyproject.toml).
"""

__version__ = "0.1.0"
