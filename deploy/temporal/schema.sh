#!/bin/sh
# Creates or upgrades Temporal's two databases. Safe to run at every start: what is there already is left alone.
# The address and the password come from SQL_HOST, SQL_PORT, SQL_USER, SQL_PASSWORD and SQL_PLUGIN.
set -eu

prepare() { # DATABASE SCHEMA
	temporal-sql-tool --db "$1" create-database
	temporal-sql-tool --db "$1" setup-schema --version 0.0
	temporal-sql-tool --db "$1" update-schema --schema-name "$2"
}

prepare temporal postgresql/v12/temporal
prepare temporal_visibility postgresql/v12/visibility
