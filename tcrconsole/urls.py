"""URLs of the console."""

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LogoutView
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from sync.views.where import where_for_staff
from tcrconsole.signin import PasswordView, SignInView
from tcrconsole.sso.views import FromProvider, ToProvider

urlpatterns = [
    path("admin/where/", admin.site.admin_view(where_for_staff), name="admin-where"),
    path("admin/", admin.site.urls),
    path("login/", SignInView.as_view(redirect_authenticated_user=True), name="login"),
    path("sso/", login_not_required(ToProvider.as_view()), name="sso"),
    path("sso/callback/", login_not_required(FromProvider.as_view()), name="sso-callback"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("password/", PasswordView.as_view(), name="password"),
    path("favicon.ico", login_not_required(RedirectView.as_view(url=static("favicon.svg")))),
    path("", include("sync.urls")),
]
