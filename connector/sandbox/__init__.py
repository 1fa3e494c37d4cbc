"""Local APIs: playgrounds for people, and the other end of every test.

Each listens on loopback only, keeps everything in memory, and can be told to misbehave in every
way that the real one is known or suspected to (`connector.sandbox.behaviour`). Nothing is
imported here, so that a program that never starts a sandbox does not pay for one:
`connector.sandbox.start` starts one, of the type that is asked for, and the `running` of its folder
one beside a test. What the sandbox of any API needs is here, what is of one API in its folder.
"""

TYPES = ("engage", "survey_dynamix", "mxo")
"""The APIs that there is a sandbox of: each a folder here, with a `running.start`."""
