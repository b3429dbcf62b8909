classdef GraphInstance
%GRAPHINSTANCE Gymnasium's GraphInstance: an NdArray of nodes, then edges and edge links, or nothing for both.
  properties
    nodes
    edges
    edgeLinks
  end
  methods
    function self = GraphInstance(nodes, edges, edgeLinks)
      if nargin < 3
        edges = [];
        edgeLinks = [];
      end
      self.nodes = nodes;
      self.edges = edges;
      self.edgeLinks = edgeLinks;
    end
  end
end
