"""The units that move and multiply words: LOAD, STORE, WEIGHT, STREAM with the array."""
