// What the SDK for Go does: list BUCKET, put BUCKET KEY FILE, get BUCKET KEY FILE. Keys, proxy and CA come from the environment.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func main() {
	ctx := context.Background()
	settings, err := config.LoadDefaultConfig(ctx)
	if err == nil {
		err = call(ctx, s3.NewFromConfig(settings), os.Args[1], os.Args[2:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func call(ctx context.Context, client *s3.Client, action string, words []string) error {
	switch action {
	case "list":
		page, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &words[0]})
		if err != nil {
			return err
		}
		for _, object := range page.Contents {
			fmt.Println(*object.Key)
		}
		return nil
	case "put":
		file, err := os.Open(words[2])
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = client.PutObject(ctx, &s3.PutObjectInput{Bucket: &words[0], Key: &words[1], Body: file})
		return err
	default:
		answer, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &words[0], Key: &words[1]})
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		file, err := os.Create(words[2])
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.Copy(file, answer.Body)
		return err
	}
}
