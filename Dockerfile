# One image for every process of the console; compose.yaml has their command lines.
FROM python:3.11.14-slim-bookworm AS build
COPY requirements.txt /
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --disable-pip-version-check -r /requirements.txt

FROM python:3.11.14-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data console \
    && install --directory --owner=console --group=console --mode=0700 /data
COPY --from=build /venv /venv
WORKDIR /app
COPY manage.py ./
COPY tcrconsole tcrconsole/
COPY sync sync/
COPY templates templates/
COPY static static/
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DATA_DIR=/data
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-m", "tcrconsole.probe"]
CMD ["gunicorn", "tcrconsole.wsgi", "--bind", "0.0.0.0:8000", "--workers", "2", "--worker-class", "gthread", "--threads", "8", "--graceful-timeout", "3", "--no-control-socket", "--log-level", "warning"]
