"""The connector as a process: begun, followed, ended in order, and judged by what it printed.

Needs nothing but Python's own library. The integrations of Airflow and Dagster each hold these
files, word for word, so that each is one package that needs no other.
"""
