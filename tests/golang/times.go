// What Go makes of times: a table of layouts, values and zones with the nanoseconds since 1970, or
// null where it refuses the value. Filebeat's rule for a year 0 (the current one) is applied with
// the year 2026.
//
//	go run times.go -sample > times.ndjson
package main

import (
	"encoding/json"
	"flag"
	"math/rand"
	"os"
	"strings"
	"time"
)

var layouts = []string{
	time.Layout, time.ANSIC, time.UnixDate, time.RubyDate, time.RFC822, time.RFC822Z, time.RFC850,
	time.RFC1123, time.RFC1123Z, time.RFC3339, time.RFC3339Nano, time.Kitchen, time.Stamp,
	time.StampMilli, time.StampMicro, time.StampNano, time.DateTime, time.DateOnly, time.TimeOnly,
	"2006-01-02T15:04:05Z", "2006-01-02T15:04:05.999Z", "2006-01-02T15:04:05.999-07:00",
	"2006-01-02T15:04:05.000Z0700", "2006-01-02T15:04:05,000", "2006-01-02T15:04:05,999",
	"2006-01-02 15:04:05.000000000 -0700 MST", "2006-01-02T15:04:05Z07", "2006-01-02T15:04:05-07",
	"2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07:00:00", "2006-01-02T15:04:05-07:00:00",
	"2006-01-02T15:04:05Z070000", "2006-01-02T15:04:05-070000", "2006-002 15:04", "2006 __2 15:04",
	"06/1/2 3:4:5pm", "06/1/_2 03:04:05 PM", "Monday January 2 2006", "Mon, 2 Jan 2006 15:04",
	"02/Jan/2006:15:04:05 -0700", "_2 Jan 06 3PM", "Jan_2006", "2006_01_02", "20060102150405",
	"20060102150405.000", "15:04:05 .000", "15h04m05s", "Month Jan", "2006-01-02  15:04",
	"2006-01-02 15:04:05 MST", "Mon Jan 02 002 2006", "2006-01-02 002", "Janet 2006", "05.00.00",
	"2006-01-02T15:04:05.9x", "2006-01-02T15:04:05.0123", "2006年01月02日", "01/02 15:04 '06",
}

var moments = []time.Time{
	time.Date(2026, 11, 24, 4, 32, 37, 123456789, time.UTC),
	time.Date(2024, 2, 29, 23, 59, 59, 999000000, time.UTC),
	time.Date(1999, 12, 31, 12, 0, 0, 0, time.UTC),
	time.Date(2001, 2, 3, 4, 5, 6, 700000000, time.UTC),
	time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC),
	time.Date(2026, 7, 4, 13, 7, 9, 120000, time.UTC),
}

var others = []string{
	"", " ", "2026", "2026-11-24", "2026-02-29", "2024-02-29", "2026-13-01", "2026-00-10",
	"2026-11-31T00:00:00Z", "2026-11-24T24:00:00Z", "2026-11-24T23:60:00Z", "2026-11-24T23:59:60Z",
	"2026-11-24T04:32:37z", "2026-11-24t04:32:37Z", "2026-11-24T04:32:37.1234567891Z",
	"2026-11-24T04:32:37.Z", "2026-11-24T04:32:37,5Z", "2026-11-24T04:32:37.5+02:00",
	"2026-11-24T04:32:37+0200", "2026-11-24T04:32:37-24:00", "2026-11-24T04:32:37+25:00",
	"2026-11-24T04:32:37+02:60", "2026-11-24T04:32:37+02:61", "2026-11-24T04:32:37 Z",
	"2026-11-24T4:32:37Z", "2026-1-24T04:32:37Z", "0000-02-29T00:00:00Z", "0000-03-01T10:00:00Z",
	"Nov 24 04:32:37", "Nov  4 04:32:37", "nov 24 04:32:37.5", "NOV 24 04:32:37.000",
	"Tue Nov 24 04:32:37 CET 2026", "Tue Nov 24 04:32:37 EST 2026", "Tue Jul 14 04:32:37 EDT 2026",
	"Tue Nov 24 04:32:37 GMT+3 2026", "Tue Nov 24 04:32:37 GMT-11 2026",
	"Tue Nov 24 04:32:37 WITA 2026", "Tue Nov 24 04:32:37 ChST 2026", "Tue Nov 24 04:32:37 +03 2026",
	"Tue Nov 24 04:32:37 ABCDE 2026", "Tue Nov 24 04:32:37 AB 2026", "12:00PM", "12:30AM", "0:05am",
	"13:00PM", "00:05PM", "2026-366 00:00", "2024-366 00:00", "2026-060 10:00", "2024-060 10:00",
	"2026   5 10:00", "2026  60 10:00", "70/1/2 3:4:5am", "68/12/31 11:59:59pm", "2026-03-08 02:30",
	"2026-03-08 02:30:00", "2026-11-01 01:30:00", "2026-03-29 02:30:00", "2026-10-25 02:30:00",
	"2026-04-05 01:45:00", "2026-10-04 02:15:00", "1883-11-18 12:03:57", "2026-11-24 04:32:37",
	"2026-11-24   04:32", "2026-11-24 04:32:37 UTC", "2026-11-24 04:32:37 EST", "24/Nov/2026:04:32:37 +0100",
}

type row struct {
	layout, value, zone string
	// Seconds since 1970 and nanoseconds; nil if it is refused.
	time []int64
}

func read(layout, value, name string, zone *time.Location) row {
	found := row{layout: layout, value: value, zone: name}
	moment, err := time.ParseInLocation(layout, value, zone)
	if err != nil {
		return found
	}
	if moment.Year() == 0 {
		moment = moment.AddDate(2026, 0, 0)
	}
	found.time = []int64{moment.Unix(), int64(moment.Nanosecond())}
	return found
}

func changed(rng *rand.Rand, value string) string {
	if value == "" {
		return "7"
	}
	at := rng.Intn(len(value))
	letters := "0123456789 :.TZ-/,apmJan"
	letter := string(letters[rng.Intn(len(letters))])
	switch rng.Intn(4) {
	case 0:
		return value[:at] + value[at+1:]
	case 1:
		return value[:at] + letter + value[at:]
	case 2:
		return value[:at] + letter + value[at+1:]
	}
	return value[:at] + value[at:at+1] + value[at:]
}

func main() {
	sample := flag.Bool("sample", false, "only some of them")
	flag.Parse()
	zones := map[string]*time.Location{}
	names := []string{"UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "+05:30"}
	for _, name := range names {
		if strings.HasPrefix(name, "+") {
			zones[name] = time.FixedZone("", 19800)
			continue
		}
		zone, err := time.LoadLocation(name)
		if err != nil {
			panic(err)
		}
		zones[name] = zone
	}
	rng := rand.New(rand.NewSource(1))
	rows := []row{}
	for number, layout := range layouts {
		values := append([]string{}, others...)
		for _, moment := range moments {
			for _, name := range names {
				values = append(values, moment.In(zones[name]).Format(layout))
			}
		}
		written := len(values)
		for range 120 {
			values = append(values, changed(rng, values[len(others)+rng.Intn(written-len(others))]))
		}
		seen := map[string]bool{}
		for index, value := range values {
			name := names[(index+number)%len(names)]
			if seen[name+value] {
				continue
			}
			seen[name+value] = true
			rows = append(rows, read(layout, value, name, zones[name]))
		}
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	taken, refused := 0, 0
	for _, found := range rows {
		if found.time == nil {
			refused++
		} else {
			taken++
		}
		// A sample has every fourth that is taken, and a few that are refused.
		if *sample && (found.time != nil && taken%4 != 0 || found.time == nil && refused%25 != 0) {
			continue
		}
		line := []any{found.layout, found.value, found.zone, found.time}
		if err := encoder.Encode(line); err != nil {
			panic(err)
		}
	}
}
