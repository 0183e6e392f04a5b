#!/bin/sh
# Prints files of Prometheus' rules (recording, …) as objects of its operator. kustomize cannot make them: it takes a file as an
# object or as text, never as a part of an object.
set -eu
cd "$(dirname "$0")"
for part; do
    cat <<HEAD
---
# Made of alerts/$part.yaml by \`make alerts\`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: yagura-$part
spec:
HEAD
    sed 's/^./  &/' "$part.yaml"
done
