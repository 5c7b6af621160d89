"""Plans, outcomes and tables as text for people and as JSON for machines.

Job: `data` turns the model into JSON-ready dictionaries, `text` into lines of a terminal; rich is imported in
`terminal` alone. Input: the model. Output: strings. Must not: compute what the model does not say.
"""
