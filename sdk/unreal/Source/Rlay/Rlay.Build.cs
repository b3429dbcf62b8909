// Says how the module Rlay is built: with the headers of sdk/cpp, which lie beside the plugin.

using System.IO;
using UnrealBuildTool;

public class Rlay : ModuleRules
{
	public Rlay(ReadOnlyTargetRules Target) : base(Target)
	{
		PCHUsage = PCHUsageMode.UseExplicitOrSharedPCHs;
		PublicDependencyModuleNames.AddRange(new string[] { "Core", "CoreUObject", "Engine" });
		PublicIncludePaths.Add(Path.GetFullPath(Path.Combine(PluginDirectory, "..", "cpp", "include")));
		if (Target.Platform == UnrealTargetPlatform.Win64)
		{
			PublicSystemLibraries.Add("ws2_32.lib");
		}
	}
}
