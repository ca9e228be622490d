"""One URL per action. A new rule is made at `new-rule/`: `rules/new/` is the page of a rule named “new”."""

from django.urls import path

from sync.views import check, hook_secret, hooks, instances, log, metrics, preferences, preview, rules, tasks, where

urlpatterns = [
    path("", instances.home, name="home"),
    path("hooks/<str:name>/", hooks.hook, name="hook"),
    # Redirected to the slash, a POST would become a GET.
    path("hooks/<str:name>", hooks.hook),
    path("where/", where.where, name="where"),
    path("metrics", metrics.metrics, name="metrics"),
    path("schedule-times/", rules.schedule_times, name="schedule-times"),
    path("preferences/", preferences.preferences, name="preferences"),
    path("instances/", instances.instance_list, name="instances"),
    path("instances/new/", instances.instance_new, name="instance-new"),
    path("instances/test/", instances.instance_test, name="instance-test"),
    path("instances/<str:name>/edit/", instances.instance_edit, name="instance-edit"),
    path("instances/<str:name>/delete/", instances.instance_delete, name="instance-delete"),
    path("i/<str:instance>/", instances.instance_page, name="instance"),
    path("i/<str:instance>/namespaces/", instances.instance_namespaces, name="instance-namespaces"),
    path("i/<str:instance>/check/", instances.instance_check, name="instance-check"),
    path("i/<str:instance>/secret/", hook_secret.hook_secret, name="hook-secret"),
    path("i/<str:instance>/secret/remove/", hook_secret.hook_secret_remove, name="hook-secret-remove"),
    path("i/<str:instance>/rules/", rules.rule_list, name="rules"),
    path("i/<str:instance>/new-rule/", rules.rule_new, name="rule-new"),
    path("i/<str:instance>/new-rule/preview/", preview.preview_new, name="preview-new"),
    path("i/<str:instance>/rules/<str:name>/edit/preview/", preview.preview_edit, name="preview-edit"),
    path("i/<str:instance>/rules/<str:name>/", rules.triggering_logs, name="rule"),
    path("i/<str:instance>/rules/<str:name>/edit/", rules.rule_edit, name="rule-edit"),
    path("i/<str:instance>/rules/<str:name>/switch/", rules.rule_switch, name="rule-switch"),
    path("i/<str:instance>/rules/<str:name>/check/", check.rule_check, name="rule-check"),
    path("i/<str:instance>/rules/<str:name>/sync/", rules.rule_sync, name="rule-sync"),
    path("i/<str:instance>/rules/<str:name>/delete/", rules.rule_delete, name="rule-delete"),
    path("i/<str:instance>/tasks/<int:task_id>/", tasks.task_page, name="task"),
    path("i/<str:instance>/tasks/<int:task_id>/stop/", tasks.task_stop, name="task-stop"),
    path("i/<str:instance>/tasks/<int:task_id>/removals/", tasks.task_removals, name="task-removals"),
    path("i/<str:instance>/tasks/<int:task_id>/retry/", tasks.task_retry, name="task-retry"),
    path("i/<str:instance>/tasks/<int:task_id>/log/", log.task_log, name="task-log"),
    path("i/<str:instance>/tasks/<int:task_id>/log.txt", log.task_log_text, name="task-log-text"),
    path(
        "i/<str:instance>/tasks/<int:task_id>/repositories/<int:repository_id>/",
        tasks.repository_page,
        name="task-repository",
    ),
]
