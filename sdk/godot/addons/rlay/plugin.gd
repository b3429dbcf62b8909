## Makes the editor list the add-on. There is nothing to enable: load rlay.gd, or extend rlay_host.gd.
@tool
extends EditorPlugin
