"""Signing in, which gives a browser a session for the token and leads on to what was asked, and
signing out."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from connector.serve.web.goal import goal_of
from connector.serve.web.page import form_of, page, said
from connector.serve.web.persons import COOKIE, Persons, session_of


async def login(request: Request) -> Response:
    """Ask for the token, and take it."""
    persons: Persons = request.app.state.persons()
    goal = goal_of(request.query_params.get("next", ""))
    if not persons.sign_in:
        return RedirectResponse("/", 303)
    content = {"goal": goal, "one": persons.token is not None}
    if request.method == "GET":
        return page(request, "login.html", "Sign in", wrong=False, **content)
    form = await form_of(request)
    token = form.get("token", "")
    if persons.with_token(token) is None:
        request.app.state.tries.failed(request.client)
        return page(request, "login.html", "Sign in", wrong=True, status=401, **content)
    response = RedirectResponse(goal, 303)
    secure = request.scope["scheme"] == "https"
    response.set_cookie(COOKIE, session_of(token), httponly=True, samesite="strict", secure=secure)
    return response


async def logout(request: Request) -> Response:
    """Take the session away from this browser; the token is good for others still."""
    response = said("/login", "You are signed out.")
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response
