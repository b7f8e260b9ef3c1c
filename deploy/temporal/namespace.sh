#!/bin/sh
# Creates the namespace that hookturn uses. The server answers on its port a little before it can do this, so that a
# failure here is tried again by the container's restart policy.
set -eu

if temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE"; then
	exit 0
fi
temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 72h
