package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// written is the JSON report of a comparison. Times are in milliseconds.
type written struct {
	Time       time.Time               `json:"time"`
	Revision   string                  `json:"revision"`
	Go         string                  `json:"go"`
	Cores      int                     `json:"cores"`
	CPU        string                  `json:"cpu"`
	Ratios     []ratio                 `json:"ratios"`
	Contenders map[string][]writtenRow `json:"contenders"` // by name, one row for each round
}

type writtenRow struct {
	StepsPerSecond float64            `json:"steps_per_second"`
	P50            float64            `json:"p50_ms"`
	P99            float64            `json:"p99_ms"`
	CPU            map[string]float64 `json:"cpu_ms_per_step"` // by process
}

// write writes the JSON report.
func (c *comparison) write(path string) error {
	w := written{
		Time: time.Now().UTC(), Revision: revision(), Go: runtime.Version(), Cores: runtime.NumCPU(), CPU: cpuModel(),
		Ratios: c.targets(), Contenders: map[string][]writtenRow{},
	}
	for name, all := range c.results {
		for _, m := range all {
			one := writtenRow{
				StepsPerSecond: m.rate(), P50: m.quantile(0.5).Seconds() * 1000, P99: m.quantile(0.99).Seconds() * 1000,
				CPU: map[string]float64{},
			}
			for process := range m.cpu {
				one.CPU[process] = m.cpu.perStep(process, m.cpuSteps()).Seconds() * 1000
			}
			w.Contenders[name] = append(w.Contenders[name], one)
		}
	}
	text, err := json.MarshalIndent(w, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// revision is the commit of this build, "" when it is not known.
func revision() string {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}

// cpuModel is the processor's name, from /proc/cpuinfo.
func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(rest), ":"))
		}
	}
	return ""
}
