// Package bot says what a bot file means.
//
// Load reads a directory of bot files and promises all or nothing: either every file is right, and every step of every
// bot has a complete Plan with the dialect's defaults filled in and every secret resolved, or the error is a Problems
// that lists every defect of every file with its line and key. A Set never changes; a Store holds the one in use,
// watches the directory, and replaces it as a whole, and only ever by a good one:
//
//	     files --Load--> good? --yes--> swap --> Current
//	       ^               |
//	Watch  |               no: logged, LastError; the running Set stays
//	       +--- change ----+
//
// The files are authoritative for what a step does next, the Plan in a workflow's history for what a running step does.
package bot
