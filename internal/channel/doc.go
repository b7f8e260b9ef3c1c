// Package channel is the Era platform's integration channels (contract, section 4.4): which there are (Registry,
// Administration), what a channel's script receives (HTTP, Message, Start), and what becomes of its answer (DecodeHTTP,
// DecodeData).
//
// Channels are those of the bot files and those of the administration, which are kept in a bucket that every process
// follows. A channel of the administration is read by the rules of bot files, each time that it or the bot files change:
// one that does not fit its bot any more is not served, and the reason is reported.
package channel
