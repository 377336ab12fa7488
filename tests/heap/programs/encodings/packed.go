package main

import (
	"math/bits"
	"reflect"
	"strings"
)

// packed returns how many bytes v takes in the packed form that docs/how-it-works.md describes.
func packed(v reflect.Value) int {
	switch v.Kind() {
	case reflect.Bool, reflect.Int8, reflect.Uint8:
		return 1
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64:
		n := v.Int()
		return varint(uint64(n)<<1 ^ uint64(n>>63))
	case reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return varint(v.Uint())
	case reflect.Float32:
		return 4
	case reflect.Float64, reflect.Complex64:
		return 8
	case reflect.Complex128:
		return 16
	case reflect.String:
		return varint(uint64(v.Len())) + v.Len()
	case reflect.Slice, reflect.Array:
		size := 0
		if v.Kind() == reflect.Slice {
			size = varint(uint64(v.Len()))
		}
		for i := 0; i < v.Len(); i++ {
			size += packed(v.Index(i))
		}
		return size
	case reflect.Map:
		size := varint(uint64(v.Len()))
		for entries := v.MapRange(); entries.Next(); {
			size += packed(entries.Key()) + packed(entries.Value())
		}
		return size
	case reflect.Pointer:
		if v.IsNil() {
			return 1
		}
		return 1 + packed(v.Elem())
	case reflect.Interface:
		if v.IsNil() {
			return 1
		}
		return 2 + packed(v.Elem())
	case reflect.Struct:
		return packedStruct(v)
	}
	return 0 // func, chan, unsafe.Pointer
}

func packedStruct(v reflect.Value) int {
	if v.Type().String() == "time.Time" {
		return 15
	}
	if strings.HasPrefix(v.Type().String(), "sync.") {
		return 0
	}
	size := 0
	for i := 0; i < v.NumField(); i++ {
		field := v.Type().Field(i)
		switch {
		case field.Name == "_":
		case field.Anonymous && field.Type.Kind() == reflect.Pointer && field.Type.Elem().Kind() == reflect.Struct:
			if !v.Field(i).IsNil() {
				size += packed(v.Field(i).Elem())
			}
		default:
			size += packed(v.Field(i))
		}
	}
	return size
}

func varint(n uint64) int {
	return max(1, (bits.Len64(n)+6)/7)
}
