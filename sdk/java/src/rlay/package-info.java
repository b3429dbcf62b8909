/**
 * RLay's client for Java: hosts environments that Gymnasium agents in Python play, over TCP. The bytes follow
 * docs/wire.md; the section numbers in this package are those of that page. {@link rlay.Env} has an example, {@link
 * rlay.Value} says which Java object is which in Python. {@link rlay.ServerBackend} listens, {@link rlay.ClientBackend}
 * dials.
 */
package rlay;
