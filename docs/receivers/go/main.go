// Takes webhooks at PORT and prints each alert once. RED_WEBHOOK_SECRET is the subscription's secret.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sync"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

type event struct {
	Type string `json:"type"`
	Data struct {
		Seq      int64   `json:"seq"`
		ImageID  string  `json:"image_id"`
		Red      float64 `json:"red"`
		FirstSeq int64   `json:"first_seq"`
		LastSeq  int64   `json:"last_seq"`
		MaxRed   float64 `json:"max_red"`
	} `json:"data"`
}

func act(e event) {
	switch e.Type {
	case "red.alert":
		fmt.Printf("alert %d: image %s has %.2f%% red\n", e.Data.Seq, e.Data.ImageID, 100*e.Data.Red)
	case "red.digest":
		fmt.Printf("alerts %d to %d: up to %.2f%% red\n", e.Data.FirstSeq, e.Data.LastSeq, 100*e.Data.MaxRed)
	}
}

func main() {
	webhook, err := standardwebhooks.NewWebhook(os.Getenv("RED_WEBHOOK_SECRET"))
	if err != nil {
		log.Fatal(err)
	}
	var seen sync.Map // in a service: a unique column of the database that the work writes to
	work := make(chan event, 1000)
	go func() {
		for e := range work {
			act(e)
		}
	}()
	http.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || webhook.Verify(body, r.Header) != nil { // the bytes as they came
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		var e event
		if json.Unmarshal(body, &e) == nil {
			if _, known := seen.LoadOrStore(r.Header.Get("webhook-id"), true); !known {
				work <- e // the work comes after the answer
			}
		}
		w.WriteHeader(http.StatusNoContent)
	})
	port := os.Getenv("PORT")
	if port == "" {
		port = "3000"
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, nil))
}
