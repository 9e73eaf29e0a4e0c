// What minio-go does: list BUCKET, put BUCKET KEY FILE, get BUCKET KEY FILE. Keys, proxy and CA come from the environment.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

func main() {
	client, err := minio.New("s3.amazonaws.com", &minio.Options{
		Creds:  credentials.NewEnvAWS(),
		Region: os.Getenv("AWS_REGION"),
		Secure: true,
	})
	if err == nil {
		err = call(client, os.Args[1], os.Args[2:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func call(client *minio.Client, action string, words []string) error {
	ctx := context.Background()
	switch action {
	case "list":
		for object := range client.ListObjects(ctx, words[0], minio.ListObjectsOptions{Recursive: true}) {
			if object.Err != nil {
				return object.Err
			}
			fmt.Println(object.Key)
		}
		return nil
	case "put":
		// Parts of 5 MiB: what is longer goes up as a multipart upload.
		_, err := client.FPutObject(ctx, words[0], words[1], words[2], minio.PutObjectOptions{PartSize: 5 << 20})
		return err
	default:
		return client.FGetObject(ctx, words[0], words[1], words[2], minio.GetObjectOptions{})
	}
}
