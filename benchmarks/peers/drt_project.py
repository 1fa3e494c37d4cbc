"""A drt project that does the job, as its documentation writes one: incremental, 100 rows a batch,
its rate limit switched off. `drt run` in the folder runs it, with HOME there for the profile.
"""

from pathlib import Path

PROJECT = """
name: reviews
profile: default
"""
PROFILE = """
default:
  type: duckdb
  database: {warehouse}
"""
SYNC = """
name: reviews
model: ref('reviews')
destination:
  type: rest_api
  url: {url}/api/v3/interactions
  method: POST
  headers:
    Content-Type: application/json
    apikey: bench
  body_template: |
    {{"contactId": "{{{{ row.contact_id }}}}",
     "schemaId": "productReview",
     "createdDate": "{{{{ row.reviewed_at.isoformat() }}}}Z",
     "payload": {{
       "reviewId": "{{{{ row.review_id }}}}",
       "productSku": "{{{{ row.sku }}}}",
       "productName": "{{{{ row.product_name }}}}",
       "category": "{{{{ row.category }}}}",
       "rating": {{{{ row.rating }}}},
       "price": {{{{ row.price }}}},
       "isVerifiedPurchase": {{{{ row.verified | tojson }}}},
       "reviewText": "{{{{ row.review_text }}}}"}}}}
sync:
  mode: incremental
  cursor_field: reviewed_at
  rate_limit:
    requests_per_second: 0
"""


def write(directory: Path, warehouse: Path, url: str) -> None:
    """The three files of the project."""
    files = {
        "drt_project.yml": PROJECT,
        ".drt/profiles.yml": PROFILE.format(warehouse=warehouse),
        "syncs/reviews.yml": SYNC.format(url=url),
    }
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
