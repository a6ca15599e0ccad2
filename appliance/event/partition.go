package event

// Partitions is the number of partitions of every publisher, from its first
// day: a person belongs to number % Partitions. Head, blocks and timers are
// kept per partition.
const Partitions = 64

// PartitionOf is the partition of a person.
func PartitionOf(person uint32) int { return int(person % Partitions) }
