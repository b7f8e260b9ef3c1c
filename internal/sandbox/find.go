package sandbox

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
)

// find resolves the paths of the programs. The error lists everything that is missing.
func (o *Options) find() error {
	var problems []error
	if o.Bubblewrap == "" {
		o.Bubblewrap = "bwrap"
	}
	path, err := exec.LookPath(o.Bubblewrap)
	if err != nil {
		problems = append(problems, errors.New("bubblewrap is not installed: apt-get install bubblewrap"))
	}
	o.Bubblewrap = path
	if o.Python, err = filepath.EvalSymlinks(o.Python); err != nil {
		problems = append(problems, errors.New("the program python3 is not installed: apt-get install python3 python3-requests"))
	}
	if err := mayChangeUser(); err != nil {
		problems = append(problems, err)
	}
	if len(problems) > 0 {
		return fmt.Errorf("%w: %w", ErrUnavailable, errors.Join(problems...))
	}
	return nil
}
