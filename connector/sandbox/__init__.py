"""A local Engage: a playground for people, and the other end of every test.

It listens on loopback only, keeps everything in memory, and can be told to misbehave in every
way that the real one is known or suspected to (`connector.sandbox.behaviour`). Nothing is
imported here, so that a program that never starts a sandbox does not pay for one:
`connector.sandbox.server` starts one, `connector.sandbox.load` fills one.
"""
