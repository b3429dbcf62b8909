function space = Graph(node, edge)
%GRAPH Graphs whose nodes are elements of one space, and edges of another, if it is given.
%   Elements are rlay.GraphInstance.
  space = rlay.Space('Graph');
  space.spaces = {node};
  if nargin > 1
    space.edge = edge;
  end
end
