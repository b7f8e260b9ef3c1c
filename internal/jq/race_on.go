//go:build race

package jq

// raceDetector reports whether this program was built with -race.
const raceDetector = true
