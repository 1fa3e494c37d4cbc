"""The page that takes the token, and gives a browser a session for it."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from connector.serve.web.page import form_of, page
from connector.serve.web.persons import COOKIE, Persons, session_of


async def login(request: Request) -> Response:
    """Ask for the token, and take it."""
    persons: Persons = request.app.state.persons()
    if not persons.sign_in:
        return RedirectResponse("/", 303)
    if request.method == "GET":
        return page(request, "login.html", "Sign in", wrong=False)
    form = await form_of(request)
    token = form.get("token", "")
    if persons.with_token(token) is None:
        request.app.state.tries.failed(request.client)
        return page(request, "login.html", "Sign in", wrong=True, status=401)
    response = RedirectResponse("/", 303)
    secure = request.scope["scheme"] == "https"
    response.set_cookie(COOKIE, session_of(token), httponly=True, samesite="strict", secure=secure)
    return response
