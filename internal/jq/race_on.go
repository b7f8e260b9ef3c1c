//go:build race

package jq

// raceDetector says that this program was built with -race.
const raceDetector = true
