package natsclient

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"

	"github.com/nats-io/nats.go/jetstream"
)

var errDamaged = errors.New("the content does not have the size and the digest that it was stored with: store it again")

// object reads the content of an object from its stream. The library would create a consumer for each reader, and leave
// it on the server when the context ends early.
type object struct {
	info *jetstream.ObjectInfo
	*io.PipeReader
	stop context.CancelFunc
}

// openObject returns the content of an object. The context bounds the whole read.
func openObject(ctx context.Context, js jetstream.JetStream, info *jetstream.ObjectInfo) *object {
	ctx, stop := context.WithCancel(ctx)
	content, w := io.Pipe()
	context.AfterFunc(ctx, func() { _ = content.CloseWithError(ctx.Err()) })
	go func() { _ = w.CloseWithError(writeChunks(ctx, js, info, w)) }()
	return &object{info, content, stop}
}

// writeChunks writes the content of an object, and returns an error unless it is whole.
func writeChunks(ctx context.Context, js jetstream.JetStream, info *jetstream.ObjectInfo, w io.Writer) error {
	digest, size := sha256.New(), uint64(0)
	err := ReadStored(ctx, js, "OBJ_"+info.Bucket, "$O."+info.Bucket+".C."+info.NUID, func(m *jetstream.RawStreamMsg) error {
		_, _ = digest.Write(m.Data) // a hash does not fail
		size += uint64(len(m.Data))
		_, err := w.Write(m.Data)
		return err
	})
	if err != nil {
		return err
	}
	want, err := jetstream.DecodeObjectDigest(info.Digest)
	if err != nil || size != info.Size || !bytes.Equal(want, digest.Sum(nil)) {
		return errDamaged
	}
	return nil
}

// Info returns the metadata of the object.
func (o *object) Info() (*jetstream.ObjectInfo, error) { return o.info, nil }

// Close ends the read.
func (o *object) Close() error {
	o.stop()
	return o.PipeReader.Close()
}

// Error returns nil: Read returns the error of the content.
func (*object) Error() error { return nil }
